from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('failures', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='care',
            options={'default_permissions': ()},
        ),
    ]
