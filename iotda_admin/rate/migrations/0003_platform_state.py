from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("rate", "0002_pause")]

    operations = [
        migrations.CreateModel(
            name="PlatformState",
            fields=[
                (
                    "id",
                    models.PositiveSmallIntegerField(
                        default=1, editable=False, primary_key=True, serialize=False
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("", "Answering"),
                            ("throttled", "Throttled"),
                            ("unreachable", "Not reachable"),
                            ("refused", "Credentials refused"),
                        ],
                        max_length=20,
                    ),
                ),
                ("since", models.FloatField()),
                ("failed_at", models.FloatField()),
                ("failures", models.PositiveIntegerField()),
                ("paused_to", models.FloatField()),
                ("error", models.TextField()),
            ],
            options={"default_permissions": ()},
        ),
    ]
