"""Fields of targets get their names of today. The columns and the index stay."""

from django.db import migrations, models

UNRESOLVED = models.Index(
    condition=models.Q(("resolved_at", None), ("state__in", ["failed", "unknown"])),
    fields=["error_code", "id"],
    name="target_unsolved",
)


class Migration(migrations.Migration):
    dependencies = [("operations", "0005_permissions_declared")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex("target", "target_unsolved"),
                migrations.AlterField(
                    "target",
                    "solved_at",
                    models.DateTimeField(db_column="solved_at", null=True),
                ),
                migrations.RenameField("target", "solved_at", "resolved_at"),
                migrations.AlterField(
                    "target",
                    "solved_by",
                    models.CharField(
                        blank=True, db_column="solved_by", max_length=200
                    ),
                ),
                migrations.RenameField("target", "solved_by", "resolved_by"),
                migrations.AddIndex("target", UNRESOLVED),
            ]
        )
    ]
