from django.db.backends.sqlite3 import base, features


class LockableFeatures(features.DatabaseFeatures):
    # SQLite always has it since 3.38. Django tries it in a transaction, and concludes from
    # a locked database that there is none: then no command starts.
    supports_json_field = True


class DatabaseWrapper(base.DatabaseWrapper):
    features_class = LockableFeatures
