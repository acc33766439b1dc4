"""What an answer may look like: JSON Schemas, regular expressions, choices and GBNF as one kind of grammar."""
