"""A sync moves `read_at` of each row: its index cost more than it saved."""

import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('devices', '0004_tidy_name'),
    ]

    operations = [
        migrations.AlterField(
            model_name='device',
            name='read_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
    ]
