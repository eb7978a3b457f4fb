"""Columns that older processes do not name have a default of the database, for a rolling deploy."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_overload_and_uncertainty'),
    ]

    operations = [
        migrations.AlterField(
            model_name='account',
            name='factor_required',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name='account',
            name='people_see',
            field=models.CharField(choices=[('all', 'every conversation'), ('teams', 'those of their teams'), ('own', 'their own')], db_default='all', default='all', max_length=5),
        ),
    ]
