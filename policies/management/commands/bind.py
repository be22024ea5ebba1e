from policies.commandline import PolicyCommand


class Command(PolicyCommand):
    help = "Binds a device policy to devices, products or a whole resource space."
    verb = "policy.bind"
    past = "bound"
    examples = """\
  manage.py bind --policy quarantine 64af01_pump-7 --reason "leaks data" --ticket INC-42
  manage.py bind --policy quarantine --file ids.txt --reason "leaks data" --ticket INC-42 --json
  manage.py bind --policy quarantine --target-type app 5f0a9c --confirm-space "Plant north" ...
"""
