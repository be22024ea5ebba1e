from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0003_caps_and_grants'),
    ]

    operations = [
        migrations.CreateModel(
            name='LoginTries',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('account', models.CharField(blank=True, max_length=64)),
                ('address', models.CharField(max_length=45)),
                ('since', models.DateTimeField()),
                ('tries', models.PositiveIntegerField(default=0)),
                ('told', models.BooleanField(default=False)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('account', 'address'), name='login_tries_once')],
            },
        ),
    ]
