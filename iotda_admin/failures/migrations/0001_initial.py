import importlib

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


def make_roles(apps, schema_editor):
    """The roles know a permission more than they did."""
    importlib.import_module("iotda_admin.accounts.migrations.0001_roles").make_roles(apps, schema_editor)


class Migration(migrations.Migration):
    initial = True
    dependencies = [
        ("accounts", "0001_roles"),
        ("operations", "0004_spaces_and_failures"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="Look",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("fresh_at", models.DateTimeField()),
                ("reached", models.BigIntegerField()),
            ],
            options={"default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Care",
            fields=[
                (
                    "target",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="care",
                        serialize=False,
                        to="operations.target",
                    ),
                ),
                ("owner_name", models.CharField(blank=True, db_index=True, max_length=150)),
                ("note", models.CharField(blank=True, max_length=500)),
                ("ticket", models.CharField(blank=True, db_index=True, max_length=64)),
                ("closed_at", models.DateTimeField(null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "permissions": [("change_care", "Can take care of failures")],
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("closed_at__isnull", False)),
                        fields=["target"],
                        name="care_closed",
                    )
                ],
            },
        ),
        migrations.RunPython(make_roles, migrations.RunPython.noop),
    ]
