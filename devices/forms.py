from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from devices.models import Device, Product, Space
from iotda_admin.access.scope import AnyUser, in_scope


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
        products, spaces = (
            in_scope(Product.objects.all(), user),
            in_scope(Space.objects.all(), user),
        )
        self.choose("status", _("Any status"), Device.Status.choices)
        self.choose(
            "product", _("Any product"), products.values_list("product_id", "name")
        )
        self.choose("space", _("Any space"), spaces.values_list("app_id", "name"))
        self.choose("node_type", _("Any connection"), Device.NodeType.choices)

    def choose(self, name: str, empty: Any, choices: Any) -> None:
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", empty), *choices]

    def devices(self) -> QuerySet[Device]:
        """Return the matching devices; none for an invalid filter, which the page explains."""
        if not self.is_valid():
            return Device.objects.none()
        asked = self.cleaned_data
        found = in_scope(Device.objects.all(), self.user)
        for name, column in [
            ("status", "status"),
            ("product", "product_id"),
            ("space", "app_id"),
            ("node_type", "node_type"),
        ]:
            if asked[name]:
                found = found.filter(**{column: asked[name]})
        return devices_matching(found, asked["q"]) if asked["q"] else found

    def applied(self) -> list[tuple[str, Any, Any]]:
        """Name, label and value of each filter that is on, for the chips."""
        if not self.is_valid():
            return []
        result = []
        for name, value in self.cleaned_data.items():
            field = self.fields[name]
            if value:
                is_choice = isinstance(field, forms.ChoiceField)
                shown = dict(field.choices)[value] if is_choice else value  # type: ignore[attr-defined]
                result.append((name, field.label, shown))
        return result


def devices_matching(devices: QuerySet[Device], text: str) -> QuerySet[Device]:
    """Match any part of a name or ID; the index alone finds a whole ID."""
    exact = devices.filter(Q(device_id=text) | Q(node_id=text))
    if exact.exists():
        return exact
    return devices.filter(
        Q(device_id__icontains=text)
        | Q(node_id__icontains=text)
        | Q(name__icontains=text)
    )
