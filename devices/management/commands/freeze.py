from devices.commandline import DeviceCommand


class Command(DeviceCommand):
    help = "Freezes devices: IoTDA disconnects them and refuses their connections until they are unfrozen."
    verb = "device.freeze"
    past = "frozen"
    examples = """\
  manage.py freeze 64af01_pump-7 --reason "contract ended" --ticket INC-42
  manage.py freeze --file ids.txt --reason "contract ended" --ticket INC-42
  grep pump ids.txt | manage.py freeze --reason "contract ended" --ticket INC-42 --json
"""
