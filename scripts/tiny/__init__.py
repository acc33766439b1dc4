"""Everything that makes the tiny model: its data, its tokenizer, its training, its export and its report."""
