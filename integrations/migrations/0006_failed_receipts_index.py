"""An index of the few receipts that failed."""

from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False  # an index that is built beside the traffic

    dependencies = [
        ('integrations', '0005_dismissals'),
    ]

    operations = [
        # It once came with the migration before, so it may be there; so may a broken one, of a build that
        # was cut off.
        migrations.RunSQL(
            [
                "DROP INDEX CONCURRENTLY IF EXISTS receipt_failed",
                "CREATE INDEX CONCURRENTLY receipt_failed"
                " ON integrations_receipt (account_id, inbox_id) WHERE state = 'failed'",
            ],
            'DROP INDEX CONCURRENTLY IF EXISTS receipt_failed',
            state_operations=[
                migrations.AddIndex(
                    model_name='receipt',
                    index=models.Index(condition=models.Q(('state', 'failed')), fields=['account', 'inbox'], name='receipt_failed'),
                ),
            ],
        ),
    ]
