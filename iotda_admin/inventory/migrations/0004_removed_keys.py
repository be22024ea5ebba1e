from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('inventory', '0003_mirror_state'),
    ]

    # Removed rows are found by their key: a large unbind removes many at one time.
    operations = [
        migrations.RemoveIndex(
            model_name='removedrow',
            name='inventory_r_table_ed2737_idx',
        ),
        migrations.AddIndex(
            model_name='removedrow',
            index=models.Index(fields=['table', 'key'], name='inventory_r_table_ccb798_idx'),
        ),
    ]
