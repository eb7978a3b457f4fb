"""Labels say what they are for, and whether the list offers them as a filter."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('conversations', '0017_saved_reply'),
    ]

    operations = [
        migrations.AddField(
            model_name='label',
            name='description',
            field=models.CharField(blank=True, db_default='', default='', max_length=250, verbose_name='description'),
        ),
        migrations.AddField(
            model_name='label',
            name='in_filters',
            field=models.BooleanField(db_default=True, default=True),
        ),
        migrations.AlterField(
            model_name='label',
            name='colour',
            field=models.CharField(default='slate', max_length=12, verbose_name='colour'),
        ),
    ]
