from devices.commandline import DeviceCommand


class Command(DeviceCommand):
    help = "Unfreezes devices: IoTDA lets them connect again."
    verb = "device.unfreeze"
    past = "unfrozen"
    examples = """\
  manage.py unfreeze 64af01_pump-7 --reason "bill was paid" --ticket INC-42
  manage.py unfreeze --file ids.txt --reason "bill was paid" --ticket INC-42
  grep pump ids.txt | manage.py unfreeze --reason "bill was paid" --ticket INC-42 --json
"""
