"""Points Beam's BigQuery client and the Storage Read client at emulators, in any process with this folder on its path.

google-cloud-bigquery and google-cloud-storage read the address of an emulator from the environment. These two do not;
so their modules are changed right after they are imported, which must also work in a worker that never imports ours.
"""

import importlib.abc
import importlib.util
import os
import sys

BEAM = "apache_beam.io.gcp.internal.clients.bigquery.bigquery_v2_client"
READ = "google.cloud.bigquery_storage_v1.client"
CREDENTIALS = "google.auth.credentials"


def point_beam(module):
    module.BigqueryV2.BASE_URL = os.environ["BIGQUERY_EMULATOR_HOST"] + "/bigquery/v2/"


def point_read_client(module):
    import grpc
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    init = module.BigQueryReadClient.__init__
    if getattr(init, "finds_emulator", False):  # changed for other emulators of this process; the address is read late
        return

    def with_emulator(self, **given):
        for name in ("credentials", "client_options"):
            given.pop(name, None)
        channel = grpc.insecure_channel(
            os.environ["BIGQUERY_STORAGE_EMULATOR"], options=[("grpc.max_receive_message_length", -1)]
        )
        init(self, **given, transport=BigQueryReadGrpcTransport(channel=channel))

    with_emulator.finds_emulator = True
    module.BigQueryReadClient.__init__ = with_emulator


def ask_google_nothing(module):
    """A service account's credentials ask Google in the background where they may be used."""
    boundary = module.CredentialsWithRegionalAccessBoundary
    boundary._is_regional_access_boundary_lookup_required = lambda _: False


class AfterImport(importlib.abc.MetaPathFinder):
    """Finds these modules as anybody would, and changes them once they are loaded."""

    changes = {BEAM: point_beam, READ: point_read_client, CREDENTIALS: ask_google_nothing}

    def find_spec(self, name, path, target=None):
        change = self.changes.get(name)
        if change is None:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


def install():
    for name, change in AfterImport.changes.items():
        if name in sys.modules:
            change(sys.modules[name])
    if not any(type(finder).__name__ == AfterImport.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, AfterImport())


if "BIGQUERY_STORAGE_EMULATOR" in os.environ:
    install()
