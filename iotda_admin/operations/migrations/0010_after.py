import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("operations", "0009_paused")]
    operations = [
        migrations.AddField(
            model_name="operation",
            name="after",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="successors",
                to="operations.operation",
            ),
        )
    ]
