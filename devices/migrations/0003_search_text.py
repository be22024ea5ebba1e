from django.db import migrations

from iotda_admin.core.bulk_sql import update_rows
from iotda_admin.core.search_text import SearchTextField, search_text

SOURCES = {
    "Device": ["device_id", "node_id", "name"],
    "Product": ["product_id", "name"],
    "Space": ["app_id", "name"],
}
BATCH_SIZE = 5000


def fill(apps, _schema):
    for name, sources in SOURCES.items():
        model, last = apps.get_model("devices", name), ""
        rows = model.objects.order_by("pk").values_list(*sources)
        while batch := list(rows.filter(pk__gt=last)[:BATCH_SIZE]):
            texts = [(search_text(values), values[0]) for values in batch]
            update_rows(model, ["search_text"], texts)
            last = batch[-1][0]


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0002_permissions_declared'),
    ]

    operations = [
        *(migrations.AddField(name, 'search_text', SearchTextField()) for name in SOURCES),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
