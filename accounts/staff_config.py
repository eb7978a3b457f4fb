from django.contrib.admin.apps import AdminConfig


class StaffConfig(AdminConfig):
    """Django's admin with our own site."""

    default_site = "accounts.staff.StaffSite"
