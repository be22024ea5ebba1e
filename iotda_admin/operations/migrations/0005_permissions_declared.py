from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('operations', '0004_spaces_and_failures'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='operation',
            options={'default_permissions': (), 'ordering': ['-id']},
        ),
    ]
