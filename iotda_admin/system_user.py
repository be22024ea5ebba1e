import os
import pwd


def system_user() -> str:
    """Who runs this: by the process, not by the environment, which says what its owner likes."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"
