"""Wall 3: row level security on every table with customer or secret data."""

from django.db import migrations

from accounts.tenancy import protect

TABLES = [
    "accounts_team",
    "accounts_teammembership",
    "accounts_auditentry",
    "accounts_idempotencykey",
]


APPEND_ONLY = """
CREATE FUNCTION accounts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON accounts_auditentry
    FOR EACH ROW EXECUTE FUNCTION accounts_refuse_change();
"""


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        *[migrations.RunSQL(sql, migrations.RunSQL.noop) for sql in protect(*TABLES)],
        migrations.RunSQL(APPEND_ONLY, migrations.RunSQL.noop),
    ]
