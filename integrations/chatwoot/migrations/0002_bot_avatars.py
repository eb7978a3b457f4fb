"""A bot's picture."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chatwoot', '0001_bot_settings'),
    ]

    operations = [
        migrations.AddField(
            model_name='botsettings',
            name='avatar_mime',
            field=models.CharField(blank=True, db_default='', default='', max_length=60),
        ),
        migrations.AddField(
            model_name='botsettings',
            name='avatar_path',
            field=models.CharField(blank=True, db_default='', default='', max_length=250),
        ),
    ]
