from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rate", "0001_initial")]

    operations = [
        migrations.AddField("Limit", "paused_from", models.FloatField(db_default=0.0)),
        migrations.AddField("Limit", "paused_to", models.FloatField(db_default=0.0)),
    ]
