from django.db import migrations

from iotda_admin.access.roles import PERMISSIONS, ROLES


def make_roles(apps, schema_editor):
    # Django makes permissions only after all migrations, too late for the groups that hold them.
    ContentType = apps.get_model("contenttypes", "ContentType")
    Permission = apps.get_model("auth", "Permission")
    Group = apps.get_model("auth", "Group")
    made = {}
    for label, (model, name) in PERMISSIONS.items():
        app_label, codename = label.split(".")
        kind, _ = ContentType.objects.get_or_create(app_label=app_label, model=model)
        made[label], _ = Permission.objects.get_or_create(
            content_type=kind, codename=codename, defaults={"name": name}
        )
    for role, labels in ROLES.items():
        group, _ = Group.objects.get_or_create(name=role)
        group.permissions.add(*(made[label] for label in labels))


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(make_roles, migrations.RunPython.noop)]
