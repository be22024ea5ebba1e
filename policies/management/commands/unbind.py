from policies.commandline import PolicyCommand


class Command(PolicyCommand):
    help = "Unbinds a device policy from devices, products or a whole resource space."
    verb = "policy.unbind"
    past = "unbound"
    examples = """\
  manage.py unbind --policy quarantine 64af01_pump-7 --reason "checked again" --ticket INC-42
  manage.py unbind --policy quarantine --file ids.txt --reason "checked again" --ticket INC-42 --json
  manage.py unbind --policy quarantine --target-type app 5f0a9c --confirm-space "Plant north" ...
"""
