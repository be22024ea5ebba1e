"""Workers read our own rows: no queue and none of its tables any more."""

from django.conf import settings
from django.db import migrations


def forget_the_queue(apps, schema_editor):
    """Delete the content types of its models, and with them their permissions."""
    types = apps.get_model("contenttypes", "ContentType").objects
    types.filter(app_label="django_tasks_database").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("operations", "0006_resolved"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RemoveField("operation", "nudged_at"),
        migrations.RunSQL(
            "DROP TABLE IF EXISTS django_tasks_database_dbtaskresult",
            migrations.RunSQL.noop,
        ),
        migrations.RunPython(forget_the_queue, migrations.RunPython.noop),
    ]
