"""Contacts are found by the business's identifier, by phone, and by whom they were merged into.

The indexes are built beside the traffic. Each is dropped first, so that a run that was cut off, and left
a broken one behind, is simply run again.
"""

from django.db import migrations, models


def drop(name):
    return f"DROP INDEX CONCURRENTLY IF EXISTS {name}"


def build(name, rows, *, unique=False, state):
    create = f"CREATE {'UNIQUE ' if unique else ''}INDEX CONCURRENTLY {name}"
    return migrations.RunSQL(
        [drop(name), f"{create} ON conversations_contact {rows}"],
        drop(name),
        state_operations=[state],
    )


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('conversations', '0021_attribute_definition'),
    ]

    operations = [
        build(
            'contact_identifier_once',
            "(account_id, identifier) WHERE NOT identifier = ''",
            unique=True,
            state=migrations.AddConstraint(
                model_name='contact',
                constraint=models.UniqueConstraint(
                    condition=models.Q(('identifier', ''), _negated=True),
                    fields=('account', 'identifier'),
                    name='contact_identifier_once',
                ),
            ),
        ),
        build(
            'contact_merged',
            '(merged_into_id) WHERE merged_into_id IS NOT NULL',
            state=migrations.AddIndex(
                model_name='contact',
                index=models.Index(condition=models.Q(('merged_into__isnull', False)), fields=['merged_into'], name='contact_merged'),
            ),
        ),
        build(
            'contact_by_phone',
            "(account_id, phone) WHERE NOT phone = ''",
            state=migrations.AddIndex(
                model_name='contact',
                index=models.Index(condition=models.Q(('phone', ''), _negated=True), fields=['account', 'phone'], name='contact_by_phone'),
            ),
        ),
    ]
