import django.core.validators
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Take over two tables of the app accounts, as they are."""

    dependencies = [
        ("accounts", "0005_move_grant_and_cap"),
        ("auth", "0012_alter_user_first_name_max_length"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Grant",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        (
                            "app_id",
                            models.CharField(
                                max_length=36, verbose_name="resource space"
                            ),
                        ),
                        (
                            "user",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="grants",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "db_table": "accounts_grant",
                        "verbose_name": "resource space",
                        "verbose_name_plural": "resource spaces",
                        "default_permissions": (),
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("user", "app_id"), name="grant_once"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="RoleLimit",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True,
                                primary_key=True,
                                serialize=False,
                                verbose_name="ID",
                            ),
                        ),
                        (
                            "targets",
                            models.PositiveIntegerField(
                                validators=[
                                    django.core.validators.MinValueValidator(1)
                                ],
                                verbose_name="most targets of one operation",
                            ),
                        ),
                        (
                            "group",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="limit",
                                to="auth.group",
                            ),
                        ),
                    ],
                    options={
                        "db_table": "accounts_cap",
                        "verbose_name": "limit",
                        "verbose_name_plural": "limit",
                        "default_permissions": (),
                    },
                ),
            ]
        )
    ]
