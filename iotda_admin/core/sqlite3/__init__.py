"""Django's database backend for SQLite, which also works while the database is locked."""
