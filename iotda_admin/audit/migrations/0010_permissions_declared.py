from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('audit', '0009_last_characters'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='event',
            options={'default_permissions': (), 'ordering': ['-id']},
        ),
    ]
