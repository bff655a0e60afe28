"""The whole API on one page. The routes, and the document that the server publishes, are both made from this table.

Its order is the order of matching: what is called most comes first, a fixed path before one with a parameter.
"""

from __future__ import annotations

from howdah.api.bodies import JSON_OR_MERGE_PATCH
from howdah.api.calls import activities, backups, drills, keys, organizations, own, patching, services
from howdah.api.operation import Access, Operation
from howdah.api.queries import KNOWN, PAGE, PERIOD
from howdah.domain.activities import ActivityType as Done

POSTGRES, PROMETHEUS, ORGANIZATION, KEYS, HOWDAH = "Postgres", "Prometheus", "Organization", "OpenAPI", "Howdah"
TAGS = {
    POSTGRES: "Services",
    PROMETHEUS: "Metrics in Prometheus' text format",
    ORGANIZATION: "Organizations and what was done in them",
    KEYS: "API keys",
    HOWDAH: "Howdah's own additions",
    "Probes": "For supervisors; without a key",
}

_ORGANIZATION = "/v1/organizations/{organizationId}"
_SERVICES = _ORGANIZATION + "/postgres"
_SERVICE = _SERVICES + "/{postgresId}"

# fmt: off
OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", _SERVICES + "/prometheus", "postgresOrgPrometheusGet", PROMETHEUS,
              "Metrics of all services of the organization"),
    Operation("GET", _SERVICE, "postgresServiceGet", POSTGRES,
              "Get a service", services.get_service, result="PostgresService"),
    Operation("GET", _SERVICES, "postgresServiceGetList", POSTGRES,
              "List the organization's services, oldest first", services.list_services, query=KNOWN,
              result="PostgresServiceListItem", many=True),
    Operation("POST", _SERVICES, "postgresServiceCreate", POSTGRES,
              "Create a service", services.create_service, Access.WRITE, services.CREATE, result="PostgresService",
              activity=Done.SERVICE_CREATE),
    Operation("PATCH", _SERVICE, "postgresServicePatch", POSTGRES,
              "Update a service by JSON merge patch", patching.patch_service, Access.WRITE, patching.PATCH,
              JSON_OR_MERGE_PATCH, result="PostgresService", activity=Done.SERVICE_UPDATE),
    Operation("DELETE", _SERVICE, "postgresServiceDelete", POSTGRES,
              "Delete a service and everything of it", services.delete_service, Access.WRITE,
              activity=Done.SERVICE_DELETE),
    Operation("GET", _SERVICE + "/caCertificates", "postgresServiceCertsGet", POSTGRES,
              "Download the service's CA certificates", services.get_ca_certificates, result="Pem"),
    Operation("PATCH", _SERVICE + "/password", "postgresServiceSetPassword", POSTGRES,
              "Set the superuser's password, or have one generated", services.set_password, Access.WRITE,
              services.PASSWORD, JSON_OR_MERGE_PATCH, result="PostgresServicePasswordResource",
              activity=Done.SERVICE_UPDATE_PASSWORD),
    Operation("PATCH", _SERVICE + "/state", "postgresServicePatchState", POSTGRES,
              "Restart a service", services.set_state, Access.WRITE, services.STATE, JSON_OR_MERGE_PATCH,
              result="PostgresService", activity=Done.SERVICE_UPDATE_STATE),
    Operation("POST", _SERVICE + "/readReplica", "postgresInstanceCreateReadReplica", POSTGRES,
              "Create a read replica", access=Access.WRITE, activity=Done.SERVICE_CREATE_READ_REPLICA),
    Operation("POST", _SERVICE + "/restoredService", "postgresInstanceRestore", POSTGRES,
              "Restore into a new service", backups.restore_service, Access.WRITE, backups.RESTORE,
              result="PostgresService", activity=Done.SERVICE_RESTORE_BACKUP),
    Operation("GET", _SERVICE + "/backups", "postgresServiceBackupGetList", POSTGRES,
              "List base backups, newest first", backups.list_backups, query=PAGE, result="PostgresBackup", many=True),
    Operation("GET", _SERVICE + "/config", "postgresInstanceConfigGet", POSTGRES, "Get the configuration"),
    Operation("POST", _SERVICE + "/config", "postgresInstanceConfigPost", POSTGRES,
              "Replace the configuration", access=Access.WRITE, activity=Done.SERVICE_UPDATE_CONFIGURATION),
    Operation("PATCH", _SERVICE + "/config", "postgresInstanceConfigPatch", POSTGRES,
              "Update the configuration", access=Access.WRITE, activity=Done.SERVICE_UPDATE_CONFIGURATION),
    Operation("GET", _SERVICE + "/logs", "postgresLogsGetList", POSTGRES, "Read the logs"),
    Operation("GET", _SERVICE + "/metrics", "postgresInstanceMetricsGet", POSTGRES, "Read metrics over time"),
    Operation("GET", _SERVICE + "/prometheus", "postgresInstancePrometheusGet", PROMETHEUS, "Metrics of a service"),
    Operation("GET", _SERVICE + "/slowQueryPatterns", "slowQueryPatternsGetList", POSTGRES, "List slow queries"),
    Operation("GET", _SERVICE + "/slowQueryPatterns/{queryId}", "slowQueryPatternGet", POSTGRES, "Get a slow query"),
    Operation("GET", "/v1/organizations", "organizationGetList", ORGANIZATION,
              "List the key's organization", organizations.list_organizations, result="Organization", many=True),
    Operation("GET", _ORGANIZATION, "organizationGet", ORGANIZATION,
              "Get an organization", organizations.get_organization, result="Organization"),
    Operation("GET", _ORGANIZATION + "/activities", "activityGetList", ORGANIZATION,
              "List what was done, newest first", activities.list_activities, query=PERIOD, result="Activity",
              many=True),
    Operation("GET", _ORGANIZATION + "/activities/{activityId}", "activityGet", ORGANIZATION,
              "Get an activity", activities.get_activity, result="Activity"),
    Operation("GET", _ORGANIZATION + "/keys", "openapiKeyGetList", KEYS,
              "List API keys", keys.list_keys, Access.KEYS, result="ApiKey", many=True),
    Operation("POST", _ORGANIZATION + "/keys", "openapiKeyCreate", KEYS,
              "Create an API key", keys.create_key, Access.KEYS, keys.CREATE, result="ApiKeyPostResponse",
              activity=Done.KEY_CREATE),
    Operation("GET", _ORGANIZATION + "/keys/{keyId}", "openapiKeyGet", KEYS,
              "Get an API key", keys.get_key, Access.KEYS, result="ApiKey"),
    Operation("PATCH", _ORGANIZATION + "/keys/{keyId}", "openapiKeyUpdate", KEYS,
              "Update an API key by JSON merge patch", keys.patch_key, Access.KEYS, keys.PATCH, JSON_OR_MERGE_PATCH,
              result="ApiKey", activity=Done.OPENAPI_KEY_UPDATE),
    Operation("DELETE", _ORGANIZATION + "/keys/{keyId}", "openapiKeyDelete", KEYS,
              "Delete an API key", keys.delete_key, Access.KEYS, activity=Done.KEY_DELETE),
    Operation("GET", "/v1/howdah/catalog", "howdahCatalogGet", HOWDAH,
              "Providers, regions, sizes and versions on offer", own.get_catalog, result="Catalog"),
    Operation("GET", "/v1/howdah/version", "howdahVersionGet", HOWDAH,
              "Versions of the server and of the API", own.get_version, result="Version"),
    Operation("GET", "/v1/howdah/health", "howdahFleetHealthGet", HOWDAH,
              "Whether all services and their backups are as they should be", own.get_fleet_health,
              result="HealthSummary", many=True),
    Operation("GET", "/v1/howdah/services/{postgresId}", "howdahServiceGet", HOWDAH,
              "State of a service, with the reason when it is unavailable", own.get_service_state,
              result="ServiceState"),
    Operation("GET", "/v1/howdah/services/{postgresId}/connections", "howdahConnectionsGet", HOWDAH,
              "Ready connection strings per driver", own.get_connections, result="Connections"),
    Operation("GET", "/v1/howdah/services/{postgresId}/backups", "howdahBackupsGet", HOWDAH,
              "What can be restored, and how archiving goes", backups.get_archive, result="Archive"),
    Operation("POST", "/v1/howdah/services/{postgresId}/backups", "howdahBackupCreate", HOWDAH,
              "Have a base backup taken now", backups.request_backup, Access.WRITE, result="BackupRequest",
              activity=Done.BACKUP_CREATE),
    Operation("GET", "/v1/howdah/services/{postgresId}/health", "howdahHealthGet", HOWDAH,
              "Whether a service and its backups are as they should be", own.get_health,
              result="ServiceHealth"),
    Operation("GET", "/v1/howdah/services/{postgresId}/drills", "howdahDrillsGet", HOWDAH,
              "What drills have found, newest first, and how far the one under way is", drills.get_drills,
              result="Drills"),
    Operation("POST", "/v1/howdah/services/{postgresId}/drills", "howdahDrillCreate", HOWDAH,
              "Begin a drill: restore the latest backup where nobody uses it, and check it", drills.begin_drill,
              Access.WRITE, result="DrillBegun", activity=Done.DRILL_CREATE),
    Operation("GET", "/v1/howdah/services/{postgresId}/operations", "howdahOperationsGet", HOWDAH,
              "What is being done with a service, and how far it is", backups.list_operations, result="Operation",
              many=True),
)
# fmt: on
