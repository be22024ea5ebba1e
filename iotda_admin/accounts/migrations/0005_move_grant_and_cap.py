from django.db import migrations


class Migration(migrations.Migration):
    """Both models live in the app access now; their tables keep their names."""

    dependencies = [("accounts", "0004_login_tries")]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.DeleteModel("Grant"),
                migrations.DeleteModel("Cap"),
            ]
        )
    ]
