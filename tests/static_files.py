from django.contrib.staticfiles.storage import StaticFilesStorage

from iotda_admin.core.static_files import ScriptPrefix


class PlainStorage(ScriptPrefix, StaticFilesStorage):
    """Serves what nobody has collected."""
