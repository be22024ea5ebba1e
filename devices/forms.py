from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from devices.models import Device, Product, Space
from devices.ranges import Narrowed
from iotda_admin.access.scope import AnyUser, in_scope, user_spaces
from iotda_admin.core.search_text import visible_text

# The filters that choose one value, and the column of each.
COLUMNS = {
    "status": "status",
    "product": "product_id",
    "space": "app_id",
    "node_type": "node_type",
}


class FilterForm(forms.Form):
    """The filters of the list of devices. All of them are in the URL."""

    q = forms.CharField(label=_("Search devices"), required=False, max_length=256)
    status = forms.ChoiceField(label=_("Status"), required=False)
    product = forms.ChoiceField(label=_("Product"), required=False)
    space = forms.ChoiceField(label=_("Resource space"), required=False)
    node_type = forms.ChoiceField(label=_("Connection"), required=False)

    def __init__(self, *args: Any, user: AnyUser, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        products = in_scope(Product.objects.all(), user).values_list("pk", "name")
        spaces = in_scope(Space.objects.all(), user).values_list("pk", "name")
        for name, every, choices in (
            ("status", _("Any status"), Device.Status.choices),
            ("product", _("Any product"), products),
            ("space", _("Any space"), spaces),
            ("node_type", _("Any connection"), Device.NodeType.choices),
        ):
            self.fields[name].choices = [("", every), *choices]  # type: ignore[attr-defined]

    def clean_q(self) -> str:
        return visible_text(self.cleaned_data["q"])

    @property
    def query(self) -> str:
        """The text to search for; nothing if a filter is invalid."""
        return self.cleaned_data["q"] if self.is_valid() else ""

    def narrowed(self) -> Narrowed:
        """Return the devices of the filters; none for an invalid one, which the page explains."""
        if not self.is_valid():
            return Narrowed({}, frozenset())
        asked = self.cleaned_data
        values = {COLUMNS[name]: asked[name] for name in COLUMNS if asked[name]}
        return Narrowed(values, user_spaces(self.user))

    def applied(self) -> list[tuple[str, Any, Any]]:
        """Name, label and value of each filter that is on, for the chips."""
        if not self.is_valid():
            return []
        return [
            (name, field.label, dict(getattr(field, "choices", ())).get(value, value))
            for name, field in self.fields.items()
            if (value := self.cleaned_data[name])
        ]
