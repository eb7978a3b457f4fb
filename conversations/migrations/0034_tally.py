"""Conversations are counted as they change; those that there are already are counted here.

The triggers keep writers out until this migration is done (about a second for a million conversations),
so that none is missed; readers go on. It waits three seconds for its turn, and is simply run again.
"""

import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

from accounts.tenancy import protect

PATIENTLY = "SET LOCAL lock_timeout = '3s'"
TRIGGERS = """
CREATE FUNCTION conversations_count_changed() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO conversations_conversationtally (account_id, inbox_id, assignee_id, team_id, status, n)
    SELECT account_id, inbox_id, assignee_id, team_id, status, CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END
    FROM changed GROUP BY account_id, inbox_id, assignee_id, team_id, status;
    RETURN NULL;
END $$;

CREATE FUNCTION conversations_count_moved() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO conversations_conversationtally (account_id, inbox_id, assignee_id, team_id, status, n)
    VALUES (OLD.account_id, OLD.inbox_id, OLD.assignee_id, OLD.team_id, OLD.status, -1),
           (NEW.account_id, NEW.inbox_id, NEW.assignee_id, NEW.team_id, NEW.status, 1);
    RETURN NULL;
END $$;

CREATE TRIGGER count_new AFTER INSERT ON conversations_conversation
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION conversations_count_changed();
CREATE TRIGGER count_gone AFTER DELETE ON conversations_conversation
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION conversations_count_changed();
CREATE TRIGGER count_moved
    AFTER UPDATE OF account_id, inbox_id, assignee_id, team_id, status ON conversations_conversation
    FOR EACH ROW
    WHEN ((OLD.account_id, OLD.inbox_id, OLD.assignee_id, OLD.team_id, OLD.status)
        IS DISTINCT FROM (NEW.account_id, NEW.inbox_id, NEW.assignee_id, NEW.team_id, NEW.status))
    EXECUTE FUNCTION conversations_count_moved();
"""
NO_TRIGGERS = """
DROP TRIGGER count_new ON conversations_conversation;
DROP TRIGGER count_gone ON conversations_conversation;
DROP TRIGGER count_moved ON conversations_conversation;
DROP FUNCTION conversations_count_changed(), conversations_count_moved();
"""
# Fails where the role that migrates would count its own rows only, or none.
COUNT = """
SET LOCAL row_security = off;
INSERT INTO conversations_conversationtally (account_id, inbox_id, assignee_id, team_id, status, n)
    SELECT account_id, inbox_id, assignee_id, team_id, status, count(*) FROM conversations_conversation
    GROUP BY account_id, inbox_id, assignee_id, team_id, status;
"""


def loose(to: str, *, null: bool = False) -> models.ForeignKey:
    """A column that names a row and is not checked."""
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        null=null,
        on_delete=django.db.models.deletion.DO_NOTHING,
        related_name="+",
        to=to,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0009_invitation_name_and_number"),
        ("conversations", "0033_inbox_removed_at"),
    ]

    operations = [
        migrations.CreateModel(
            name="ConversationTally",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("status", models.CharField(choices=[("open", "open"), ("snoozed", "snoozed"), ("resolved", "resolved")], max_length=10)),
                ("n", models.IntegerField()),
                ("account", models.ForeignKey(db_constraint=False, db_index=False, editable=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+", to="accounts.account")),
                ("assignee", loose("accounts.member", null=True)),
                ("inbox", loose("conversations.inbox")),
                ("team", loose("accounts.team", null=True)),
            ],
            options={
                "abstract": False,
                "base_manager_name": "all_accounts",
                "default_manager_name": "objects",
                "indexes": [models.Index(fields=["account", "status"], name="tally_by_status")],
            },
            managers=[
                ("objects", django.db.models.manager.Manager()),
                ("all_accounts", django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(PATIENTLY, PATIENTLY),
        migrations.RunSQL(TRIGGERS, NO_TRIGGERS),
        migrations.RunSQL(COUNT, migrations.RunSQL.noop),
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect("conversations_conversationtally")],
    ]
