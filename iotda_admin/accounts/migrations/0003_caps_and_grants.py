from django.db import migrations

# By role; a role that is not named has no cap of its own.
CAPS = {"operator": 1000}


def make_caps(apps, schema_editor):
    Group, Cap = apps.get_model("auth", "Group"), apps.get_model("accounts", "Cap")
    for group in Group.objects.filter(name__in=CAPS):
        Cap.objects.get_or_create(group_id=group.pk, defaults={"targets": CAPS[group.name]})


def grant_everything(apps, schema_editor):
    """Whoever has an account keeps what they could do; who gets one later begins with nothing."""
    User, Grant = apps.get_model("auth", "User"), apps.get_model("accounts", "Grant")
    Grant.objects.bulk_create([Grant(user_id=pk, app_id="*") for pk in User.objects.values_list("pk", flat=True)])


class Migration(migrations.Migration):
    dependencies = [("accounts", "0002_grant_cap")]
    operations = [
        migrations.RunPython(make_caps, migrations.RunPython.noop),
        migrations.RunPython(grant_everything, migrations.RunPython.noop),
    ]
