from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operations", "0007_workers_read_our_rows")]
    operations = [
        migrations.AddField(
            model_name="operation",
            name="devices",
            field=models.PositiveIntegerField(null=True),
        )
    ]
