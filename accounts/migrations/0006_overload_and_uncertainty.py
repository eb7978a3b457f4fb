"""The soft limit of what may wait, and what happens when nobody knows whether a text arrived."""
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_account_people_see'),
    ]

    operations = [
        migrations.AddField(
            model_name='account',
            name='on_uncertain',
            field=models.CharField(choices=[('resend_once', 'send it once more'), ('hold_for_human', 'leave it to a person')], db_default='resend_once', default='resend_once', max_length=14),
        ),
        migrations.AddField(
            model_name='account',
            name='overloaded_since',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
