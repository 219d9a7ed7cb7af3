"""Where proposals come from: Wikidata and WordNet, asked over the network or read from a file."""
