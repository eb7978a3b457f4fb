"""Contacts have the business's own identifier, and say whom they were merged into.

The indexes are built beside the traffic.
"""

import django.db.models.deletion
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models

IDENTIFIER = models.UniqueConstraint(
    condition=models.Q(('identifier', ''), _negated=True),
    fields=('account', 'identifier'),
    name='contact_identifier_once',
)


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('accounts', '0007_defaults_for_older_processes'),
        ('conversations', '0019_contact_labels'),
    ]

    operations = [
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
        AddIndexConcurrently(
            model_name='contact',
            index=models.Index(condition=models.Q(('merged_into__isnull', False)), fields=['merged_into'], name='contact_merged'),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS contact_identifier_once',
                    migrations.RunSQL.noop,
                ),
                migrations.RunSQL(
                    'CREATE UNIQUE INDEX CONCURRENTLY contact_identifier_once'
                    " ON conversations_contact (account_id, identifier) WHERE NOT identifier = ''",
                    'DROP INDEX CONCURRENTLY IF EXISTS contact_identifier_once',
                ),
            ],
            state_operations=[
                migrations.AddConstraint(model_name='contact', constraint=IDENTIFIER),
            ],
        ),
    ]
