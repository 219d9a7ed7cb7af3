"""How a model's answers compare with people's: shape bias and human alignment."""
