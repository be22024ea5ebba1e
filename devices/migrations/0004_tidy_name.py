from django.db import migrations, models

from iotda_admin.core.bulk_sql import update_rows
from iotda_admin.core.search_text import TidyTextField, untidy_as_tidy

BATCH_SIZE = 5000


def fill(apps, _schema):
    model, last = apps.get_model("devices", "Device"), ""
    rows = model.objects.order_by("pk").values_list("pk", "name")
    while batch := list(rows.filter(pk__gt=last)[:BATCH_SIZE]):
        texts = ((untidy_as_tidy(name), pk) for pk, name in batch)
        update_rows(model, ["tidy_name"], [row for row in texts if row[0]])
        last = batch[-1][0]


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0003_search_text'),
    ]

    operations = [
        migrations.AddField('Device', 'tidy_name', TidyTextField()),
        migrations.RunPython(fill, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='device',
            index=models.Index(fields=['tidy_name'], condition=~models.Q(tidy_name=''), name='device_by_tidy_name'),
        ),
    ]
