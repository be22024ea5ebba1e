"""placeholder"""


class Task:
    pass
