"""Descriptions as scanners and people write them, and what must never pass for one. All of it invented."""

GOOD = [
    line.strip()
    for line in """
    t1_mprage_sag_p2_iso
    t1_mprage_tra_KM
    t2_tse_tra_320
    t2_tse_sag_384_p2
    t2_spc_da-fl_sag_p2_iso
    t2_flair_tra_fs_3mm
    t2_haste_cor_bh
    t2_blade_tra_fs
    t1_vibe_dixon_tra_bh_pre
    t1_vibe_fs_tra_bh_art
    t1_vibe_fs_tra_bh_portalvenös
    t1_vibe_fs_cor_20min
    ep2d_diff_b50_400_800_tra
    ep2d_diff_3scan_trace_p2_ADC
    ep2d_diff_tra_b0_b1000_ADC
    ep2d_perf_tra_p2_MTT
    resolve_4scan_trace_tra_192_TRACEW
    swi_tra_p2_2mm_mIP
    tof_3d_multi-slab_MIP_SAG
    localizer_3plane
    AAHead_Scout_64ch-head-coil_MPR_sag
    AAHScout
    pd_tse_fs_cor_knie_links
    t1_tse_fs_cor KM
    T2W_TSE SAG
    T2W_TSE TRA
    sT1W_3D_TFE
    T1W_FFE_In-Phase
    T1W_FFE_Out-Phase
    mDIXON-W_BH
    eTHRIVE_BH_dyn
    DWI_3b_SSh
    dADC
    FLAIR_longTR
    3D_Brain_VIEW_T2
    VEN_BOLD
    SURVEY
    Smart Brain
    T2W_SPAIR TRA
    BTFE_BH_M2D
    3D Ax T1 BRAVO
    Sag CUBE FLAIR
    Ax T2 PROPELLER FS
    Ax LAVA-Flex +C
    Ax DWI b1000
    Cor STIR
    Sag T1 FSE
    Ax SWAN
    3-plane Loc SSFSE
    Ax FIESTA FatSat
    WATER: Ax LAVA-Flex
    FSPGR 3D BRAVO +C
    Apparent Diffusion Coefficient (mm2/s)
    Thorax nativ 5.0 B31f
    Thorax 1.0 B60f
    Thorax/Abdomen venös 3.0 I30f 3
    Abdomen portalvenös 5.0 Br40 axial
    Abdomen nativ 1.5 I40f 2
    Becken 1.0 Br58 Knochen cor
    Schädel nativ 4.8 H31s
    SCHAEDEL NATIV
    Hals-Thorax-Abdomen KM
    CTA Kopf-Hals 0.6 J30s 2
    CTA Becken-Bein 1.0 B20f MIP
    CT-Angio Thorax
    HWS sag 2.0
    BWS cor 3.0 spo
    LWS ax 2.0 B70s
    Topogramm 0.6 T20f
    Topogram 0.6 Tr20
    PreMonitoring
    Monitoring 10.0 Br36
    Dosisprotokoll
    Patient Protocol
    Dose Report
    Lunge 1.5 I70f 3 cor
    MIP Lunge 10mm
    HRCT Lunge Inspiration
    Lung 1.25mm
    CHEST 5MM STANDARD
    AXIAL BONE 0.625
    Chest/Abd/Pelvis with contrast
    ABD PEL W CONTRAST 5MM
    Body 5.0 CE
    Lung 5.0 CE
    Bone 1.0 CE Axial
    Head 5.0
    NECK 3.0 CE
    CT HEAD W/O CONTRAST
    CT Abdomen/Pelvis w IV Contrast
    Coronal MPR 3mm
    Sagittal Reformat
    Cardiac CTA 70% 0.6
    CorCTA 0.75 Bv40 BestDiast 75%
    CaScoring 3.0 Sa36
    Perfusion 5.0 H20f
    CTP MTT
    CTP CBF Tmax
    Brain Perfusion 4D
    Liver arterial phase
    Liver portal venous phase 3mm
    Kidney Stone low dose
    Colonography supine
    Planungs-CT Becken 3mm
    Thorax in 2 Ebenen
    Thorax ap im Liegen
    Thorax pa
    Thorax lat
    Hand links dp
    Hand rechts ap/lat
    Knie re. in 2 Ebenen
    Knie beidseits ap stehend
    Beckenübersicht ap
    Hüfte links axial
    Schulter re. ap
    OSG links 2 Ebenen
    LWS ap/lat
    HWS Funktionsaufnahme Inklination
    Abdomen Linksseitenlage
    Ganzbeinstandaufnahme
    Orthopantomogramm OPG
    R MLO
    L CC
    R CC Tomosynthesis Projection
    L MLO Tomo Recon
    Mammographie MLO rechts
    Mamma links CC
    PET WB AC
    PET NAC
    PET WB 3D OSEM
    FDG PET/CT Ganzkörper
    CT WB 5.0 HD_FoV
    [18F]PSMA-1007 PET
    Tc-99m MDP whole body anterior
    Renal MAG3 posterior
    Abdomen US
    Carotid Duplex left
    Echo 4ch view
    2CH cine
    cine_trufi_4ch
    cine_tf2d14_retro_iPAT_SAX
    PSIR_TFL_sax
    MOLLI T1 map
    Flow_aorta_tp
    4D Flow
    RTSTRUCT PTV CTV GTV
    PTV_60
    Lung_L
    Lung_R
    Kidney_L
    SpinalCord_PRV
    Femur_Head_R
    Bowel_Bag
    Parotid_L
    LWK 3
    L4/5
    MRCP 3D cor
    Prostata t2 tse tra
    Prostata DWI b1400
    Sprunggelenk cor pd fs
    MRT Knie links
    MRT Schädel mit KM
    MR HEAD W/WO CONTRAST
    CT Thorax Abdomen mit i.v. KM
    Sonographie Schilddrüse
    Phlebographie Bein rechts
    Verlaufskontrolle nach Bestrahlung
    """.strip().splitlines()
]
"""Descriptions of series, studies, protocols and structures, of which cleaning should leave nearly all."""

NEVER = [
    line.strip()
    for line in """
    Müller
    Mueller, Hans
    HANS MÜLLER
    Schmidt^Anna
    Schneider Karl-Heinz
    Wolfgang Fischer
    Weber
    Meyer-Lindenberg
    Wagner Sabine
    Becker
    Schulz
    Hoffmann Klaus
    Schäfer
    Koch Peter
    Bauer
    Richter Monika
    Klein
    Wolf
    Schröder Uwe
    Neumann
    Schwarz
    Zimmermann
    Braun
    Krüger Ute
    Hofmann
    Hartmann
    Lange
    Schmitt
    Werner
    Krause
    Lehmann
    Köhler
    Herrmann
    König
    Walter
    Mayer
    Huber
    Kaiser
    Fuchs
    Peters
    Smith John
    JOHNSON
    Williams, Mary
    Brown
    Jones
    Garcia Maria
    Miller
    Davis Robert
    Wilson
    Anderson
    Taylor James
    Thomas
    Moore
    Martin
    Jackson Michael
    Thompson
    Nguyen Van Minh
    Yilmaz Mehmet
    Öztürk Ayşe
    Kowalski
    Nowak Agnieszka
    Иванов Пётр
    山田太郎
    김철수
    Παπαδόπουλος
    0171 1234567
    +49 89 4400-0
    06221 56 39999
    089/123 45 67
    089 12 34 56
    555-123-4567
    (555) 123 4567
    12.03.1961
    1961-03-12
    12/03/61
    3.12.61
    19610312
    12 Mar 1961
    12. März 1961
    March 12, 1961
    2024_03_12
    03-12-2024 14:32
    23 OCT 61
    4711081
    PAT-0004711
    2024-123456
    E20240312-17
    CT123456789
    ACC0012345
    MRN: 88421
    A-12345/24
    Station 3B
    Station C3
    Zimmer 12
    Chirurgie 2
    Innere 4A
    Hauptstr. 12
    69120 Heidelberg
    Goethestraße 5
    Klinikum Großhadern
    St. Josef Krankenhaus
    hans.mueller@example.org
    www.example.org
    Dr. Hand
    Herr Kopf
    Frau Arm
    Dr. med. Herz
    geb. 12.3.
    Tel. 12 34
    1.3.12.2.1107.5.2.32.35177
    J. Doe
    L. Meier
    """.strip().splitlines()
]
"""Names, telephone numbers, dates, numbers of cases, wards, addresses: nothing of them may be left."""

_NAMES = """
    müller schmidt schneider fischer weber meyer wagner becker schulz hoffmann schäfer koch bauer richter klein
    wolf schröder neumann schwarz zimmermann braun krüger hofmann hartmann lange schmitt werner schmitz krause
    meier lehmann schmid schulze maier köhler herrmann könig walter mayer huber kaiser fuchs peters lang scholz
    möller weiß jung hahn schubert vogel friedrich keller günther frank berger winkler roth beck lorenz baumann
    franke albrecht schuster simon ludwig böhm winter kraus martin schumacher krämer vogt stein jäger otto sommer
    groß seidel heinrich brandt haas schreiber graf schulte dietrich ziegler kuhn kühn pohl engel horn busch
    bergmann thomas voigt sauer arnold wolff pfeiffer peter alexander andreas anna anton barbara bernd birgit
    brigitte christa christian christine claudia daniel david dieter dirk elena elisabeth emma erika eva felix
    finn florian franz gabriele georg gerd gerhard gisela günter hannah hans heike heinz helga helmut herbert
    hermann horst ida ina ingrid jan jana jens joachim johanna johannes jonas josef julia jürgen kai karin karl
    katharina kevin klaus kurt laura lea lena leo leon lina lisa luca luise lukas manfred maria marie marion
    markus max mehmet mia michael mila mohammed monika nico niklas noah oliver olaf ole oskar paul petra philipp
    rainer ralf renate robert rolf rudolf ruth sabine sandra sarah sebastian silke simone sofia sophie stefan
    stephanie susanne tanja theo thomas thorsten tim tobias tom udo ulrich ulrike ursula ute uwe vera volker
    walter werner wilhelm wolfgang yusuf smith johnson williams brown jones garcia miller davis rodriguez martinez
    hernandez lopez gonzalez wilson anderson taylor moore jackson lee perez thompson harris sanchez clark ramirez
    lewis robinson walker allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera
    campbell mitchell carter roberts james mary john jennifer william linda elizabeth susan joseph jessica charles
    karen christopher nancy matthew margaret anthony betty mark donald ashley steven kimberly andrew emily donna
    kenneth michelle george carol amanda ray iris dora pia grace rose
    """
COMMON_NAMES = frozenset(_NAMES.split())
"""Frequent names of two countries, in lower case: words that have no place in a lexicon of radiology."""
