"""How Label Studio spells interfaces, regions and brush strokes; nothing else knows it."""
