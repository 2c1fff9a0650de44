"""Files that are read: texts, tables, tokenizers, sounds, archives."""
