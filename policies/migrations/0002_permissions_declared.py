from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('policies', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='binding',
            options={'default_permissions': (), 'ordering': ['id']},
        ),
    ]
