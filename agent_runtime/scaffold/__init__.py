"""From a JSON Schema to the text of a call: shapes, scaffolds, slot languages. Torch-free."""
