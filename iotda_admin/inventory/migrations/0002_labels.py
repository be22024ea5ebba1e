from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("inventory", "0001_initial")]
    operations = [
        migrations.AlterField(
            "syncrun",
            "state",
            models.CharField(
                choices=[
                    ("asked", "Waiting"),
                    ("running", "Running"),
                    ("done", "Done"),
                    ("failed", "Failed"),
                ],
                default="asked",
                max_length=10,
            ),
        )
    ]
