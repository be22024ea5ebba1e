"""Models and fields get their names of today. Tables and columns stay."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("failures", "0002_permissions_declared"),
        ("operations", "0006_resolved"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AlterModelTable("care", "failures_care"),
        migrations.RenameModel("Care", "Assignment"),
        migrations.AlterModelTable("look", "failures_look"),
        migrations.RenameModel("Look", "AutoResolveProgress"),
        migrations.AlterField(
            "assignment",
            "owner",
            models.ForeignKey(
                db_column="owner_id",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.RenameField("assignment", "owner", "assignee"),
        migrations.AlterField(
            "assignment",
            "owner_name",
            models.CharField(
                blank=True, db_column="owner_name", db_index=True, max_length=150
            ),
        ),
        migrations.RenameField("assignment", "owner_name", "assignee_name"),
        migrations.AlterField(
            "assignment",
            "target",
            models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT,
                primary_key=True,
                related_name="assignment",
                serialize=False,
                to="operations.target",
            ),
        ),
    ]
