from django.db import migrations, models


class Migration(migrations.Migration):
    """The field has another name; its column keeps the former one."""

    dependencies = [("operations", "0011_held")]
    operations = [
        migrations.AlterField(
            model_name="operation",
            name="held_until",
            field=models.DateTimeField(db_column="held_until", null=True),
        ),
        migrations.RenameField("operation", "held_until", "waits_until"),
    ]
