"""Contacts have the business's own identifier, and say whom they were merged into.

In one transaction, so that nothing of it is there when it fails. What finds them comes with
`0022_contact_indexes`.
"""

import django.db.models.deletion
from django.db import migrations, models

# The table is closed for a moment: rather fail than let everybody queue.
PATIENTLY = "SET LOCAL lock_timeout = '3s'"


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('conversations', '0019_contact_labels'),
    ]

    operations = [
        migrations.RunSQL(PATIENTLY, migrations.RunSQL.noop),
        migrations.AddField(
            model_name='contact',
            name='identifier',
            field=models.CharField(blank=True, db_default='', default='', max_length=250, verbose_name='identifier'),
        ),
        migrations.AddField(
            model_name='contact',
            name='merged_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name='contact',
            name='merged_into',
            field=models.ForeignKey(blank=True, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='conversations.contact'),
        ),
    ]
