"""Files of models, read as plain data: nothing that they name is ever called."""
